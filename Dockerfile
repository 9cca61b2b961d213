# One image for the service, its worker, its migrations and the local Stripe.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/newsstand

# The local Stripe has no further requirements.
COPY requirements/runtime.lock requirements/
RUN pip install --require-hashes --no-deps -r requirements/runtime.lock

COPY alembic.ini catalogue.toml ./
COPY migrations/ migrations/
COPY app/ app/
COPY sandbox/ sandbox/

ENV PYTHONPATH=/srv/newsstand
RUN printf '#!/bin/sh\nexec python -m app "$@"\n' > /usr/local/bin/newsstand && chmod 755 /usr/local/bin/newsstand \
    && useradd --system --uid 10001 --no-create-home newsstand
USER newsstand

EXPOSE 8000
CMD ["newsstand", "serve", "--host", "0.0.0.0", "--port", "8000"]
