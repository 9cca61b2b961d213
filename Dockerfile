# One image for the service, its worker, its migrations and the local Stripe.
# To build on an exact image, give its digest: docker build --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE}

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/newsstand

# The local Stripe has no further requirements.
COPY requirements/runtime.lock requirements/
RUN pip install --require-hashes --no-deps -r requirements/runtime.lock

COPY alembic.ini catalogue.toml ./
COPY migrations/ migrations/
COPY app/ app/
COPY sandbox/ sandbox/

# The file system may be read-only: so modules are compiled now, and only the data directory belongs to the user.
ENV PYTHONPATH=/srv/newsstand NEWSSTAND_DATA_DIR=/var/lib/newsstand
RUN printf '#!/bin/sh\nexec python -m app "$@"\n' > /usr/local/bin/newsstand && chmod 755 /usr/local/bin/newsstand \
    && python -m compileall -q app migrations sandbox \
    && useradd --system --uid 10001 --no-create-home newsstand \
    && install -d -o newsstand -g newsstand -m 700 /var/lib/newsstand
USER newsstand

EXPOSE 8000
CMD ["newsstand", "serve", "--host", "0.0.0.0", "--port", "8000"]
