"""The hosted checkout: the pages that a reader's browser sees. They need no JavaScript and load nothing from elsewhere."""
