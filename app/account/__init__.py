"""
The hosted account: web pages for readers, at ``/account``.

A publisher that builds no pages of its own needs one link to them. They look as the catalogue's ``[brand]`` says, are
rendered on the server and need no JavaScript. A page is a function that takes an
:class:`~app.account.request.AccountRequest`, calls services as the API does, and renders a template; it contains no business
rules. :mod:`app.account.access_control` holds the checks that apply to all of them.
"""
