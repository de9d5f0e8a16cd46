"""What must not be told or handed out: messages land in terminals, in logs of CI and in bug reports."""

import re

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
SECRETS = frozenset(
    {
        "secret_access_key", "session_token", "sse_customer_key", "password", "token", "sas_token", "account_key",
        "connection_string", "client_secret", "oss_key_secret", "gdrive_client_secret",
    }
)  # fmt: skip
"""Options of DVC's remotes that let in whoever knows them."""


def without_credentials(text: str) -> str:
    """The text with its addresses, but without the user and the password in them."""
    return CREDENTIALS.sub("", text)
