"""The style of Latlas' HTML pages. It is part of each page, so a report is a single file."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .3rem .9rem; border-bottom: 1px solid #d5dce3 }
td { text-align: right; font-variant-numeric: tabular-nums } td:first-child, th:first-child { text-align: left }
img { max-width: 100% } code { word-break: break-all } pre { white-space: pre-wrap; font-size: 13px }
"""
