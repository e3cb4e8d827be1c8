"""A machine whose owner works with the real AWS: a home directory and an environment full of settings for it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

_FILES = {
    ".aws/config": (
        "[default]\nregion = us-east-1\nignore_configured_endpoint_urls = true\nuse_fips_endpoint = true\n"
        "use_dualstack_endpoint = true\ncredential_process = /bin/false\n[profile prod]\nregion = us-east-1\n"
    ),
    ".aws/credentials": "[default]\naws_access_key_id = REALKEY\naws_secret_access_key = realsecret\n",
    ".boto": "[Credentials]\naws_access_key_id = REALKEY\naws_secret_access_key = realsecret\n[Boto]\nproxy = p.invalid\n",
    ".pyiceberg.yaml": (
        "catalog:\n  lake:\n    glue.profile-name: prod\n    s3.proxy-uri: http://p.invalid\n    s3.role-arn: arn:x\n"
        "    py-io-impl: no.such.FileIO\n"
    ),
    ".config/fsspec/conf.json": '{"s3": {"endpoint_url": "http://p.invalid", "key": "REALKEY"}}',
}


class Proxy:
    """Takes connections, refuses what is asked, and keeps the first line."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    self.asked.append(client.recv(4096).decode(errors="replace").split("\r\n")[0])
                    client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def environment(home: Path, proxy: Proxy) -> dict[str, str]:
    """Fill a home directory; give the variables that belong to it."""
    for name, text in _FILES.items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    variables = {
        "HOME": str(home),
        "AWS_PROFILE": "unknown-here",
        "AWS_DEFAULT_PROFILE": "unknown-here",
        "AWS_ENDPOINT_URL_S3": proxy.url,
        "AWS_ENDPOINT_URL_GLUE": proxy.url,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
        "AWS_CA_BUNDLE": "/none/ca.pem",
        "FSSPEC_S3_ENDPOINT_URL": proxy.url,
        "PYICEBERG_CATALOG__LAKE__S3__ENDPOINT": proxy.url,
        "PGOPTIONS": "-c search_path=nowhere",
        "PGSSLCERT": "/none/me.crt",
        "PGSERVICE": "unknown-here",
        "PGTZ": "Asia/Tokyo",
        "PGDATESTYLE": "German",
    }
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    return variables | dict.fromkeys(proxies, proxy.url)
