"""
The console: pages for the people who serve readers, at ``/console``.

Rendered here, on the server, and whole without a line of script: the one script of ours only saves keystrokes. So there is
no build step, nothing to keep in step with the API but the services that both call, and every page is a plain address that
can be sent to a colleague. A page is a function of a :class:`~app.console.request.Visit`; what every visit must be (signed
in, with a role, from a form of ours) is held in one place, :mod:`app.console.access_control`, and the routes of a file
say which role each page needs. Pages call services, as the API does, and decide nothing.
"""
