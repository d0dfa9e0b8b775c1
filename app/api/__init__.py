"""The service over HTTP, for programs: /v1 beside the page, its description at /docs, and the same over MCP.

`server` puts the routes together, `access` decides who may call them, `errors` has the one shape of refusals.
"""
