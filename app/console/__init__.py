"""
The console: web pages for support and circulation staff, at ``/console``.

Pages are rendered on the server and work without JavaScript; the script only saves keystrokes. There is no build step. A
page is a function that takes a :class:`~app.console.request.ConsoleRequest`, calls services as the API does, and renders a
template; it contains no business rules. Each module lists its routes with the role they require, and
:mod:`app.console.access_control` and :mod:`app.console.csrf` hold the checks that apply to all of them.
"""
