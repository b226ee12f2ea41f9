"""What people read: pages, charts, tables and links.

Not here: who is notified (`notifications`), and where a page is stored (`local`, `vertex`). Imports
`config` and `drift`.
"""
