"""What a driver says when it cannot connect, told as a reason and an advice.

Promises: libpq, ADBC and pgjdbc give the same reason for the same fault; a problem of certificates is never taken for
another one, nor another one for it; no password is repeated, in whatever form it stood in the driver's text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from tidemark.base.credentials import Credentials

_NETWORK: Final = "check host, port, routes and security groups"
_DNS: Final = "check host, and DNS from where the job runs"
_WAIT: Final = "wait: the next tick repeats"
# Pattern in the driver's text, reason, advice; the first that fits. Certificates come first: their messages quote file
# and host names, and have words of other rules in them ("root certificate file ... does not exist").
_REASONS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), reason, advice)
    for pattern, reason, advice in (
        (
            r"root certificate|root cert|ca certificate file",
            "the file of trusted authorities cannot be read",
            "check sslrootcert in {where}: a PEM file that is there",
        ),
        (
            r"valid client certificate|certificate required|certificate authentication failed"
            r"|alert (unknown ca|bad certificate|unsupported certificate)|private key file",
            "the server asks for a client certificate",
            "let it take a password from this role over TLS (pg_hba.conf: hostssl ... scram-sha-256)",
        ),
        (
            r"does not match host name|host ?name \S+ could not be verified|server's host name from server certificate",
            "the server's certificate is for another name",
            "put the name that it is for into host in {where}",
        ),
        (
            r"certificate has expired|certificate is not yet valid|validity check failed",
            "the server's certificate has expired, or is not valid yet",
            "renew it there, and look at the clocks",
        ),
        (
            r"certificate verify failed|self.signed certificate|local issuer certificate|PKIX",
            "the server's certificate is not trusted",
            # libpq says no more than that when it has expired.
            "set sslrootcert in {where} to the file of the right authority (for Amazon RDS its global-bundle.pem), or "
            "renew the certificate if it has expired",
        ),
        (
            r"channel binding",
            "channel_binding=require cannot be kept",
            "connect to the server itself by TLS, or leave channel_binding out of {where}",
        ),
        (r"does not support SSL", "the server has no TLS", "turn TLS on there, or set sslmode in {where} knowingly"),
        (
            r"password authentication failed",
            "user or password is wrong",
            "check username and password in {where}",
        ),
        (r"no password supplied|password is an empty string", "the server asks for a password", "give one in {where}"),
        (
            r"no such (database|user)|(database|role|user) .*does not exist",
            "the database or role does not exist",
            "check dbname and username in {where}",
        ),
        (
            r"could not translate host name|failed to resolve host|UnknownHost",
            "the host name is unknown",
            _DNS,
        ),
        (r"connection refused", "nothing listens there", "check host and port, and that the server runs"),
        (
            r"no pg_hba\.conf entry",
            "the server does not let this user in from here",
            "add a pg_hba.conf rule or use TLS",
        ),
        (
            r"too many|remaining connection slots|query_wait_timeout",
            "the server has no connection left",
            "raise its limit or free connections",
        ),
        (r"starting up", "the server is starting up", _WAIT),
        (r"shutting down", "the server is shutting down", _WAIT),
        (r"timeout|timed out", "no answer", _NETWORK),
    )
)


def unreachable(kind: str, credentials: Credentials, error: Exception) -> tuple[str, str]:
    """Turn a driver's connection error into what happened and what to do, without its text where that could leak."""
    text = said_by(error, credentials)
    who = f"{kind} {credentials.place} as {credentials.username}"
    found = explained(text, "the secret")
    return (
        (f"{who}: {found[0]}", found[1]) if found else (f"{who} cannot be reached ({text[-300:]})", "check the secret")
    )


def explained(text: str, where: str) -> tuple[str, str] | None:
    """Return reason and advice for a driver's text, or None; ``where`` is what holds the options, for the advice."""
    for pattern, reason, advice in _REASONS:
        if pattern.search(text):
            return reason, advice.format(where=where)
    return None


def said_by(error: Exception, credentials: Credentials) -> str:
    """Return a driver's text on one line, without the password as it is and as a URL has it."""
    text, password = str(error), credentials.password.get_secret_value()
    for form in {password, quote(password, safe="")} - {""}:
        text = text.replace(form, "***")
    return " ".join(text.split())
