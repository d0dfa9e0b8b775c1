"""One reader a format, each run only inside the reading process (ingest.parse_main).

A reader takes a path and yields a DocumentInfo, then pages with warnings between them; it never sees limits
of the operating system, a database or a tokenizer. Text is valid Unicode without control characters but for
line breaks and tabs.
"""
