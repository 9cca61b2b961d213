"""
What the console and the hosted account share: sign-in at the identity provider, encrypted cookies, forms and formats.

Nothing here knows whose pages they are: URLs, sessions and templates belong to the pages themselves.
"""
