"""Ivy, which PySpark ships: it fetches exactly the jars that it is asked for."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

MEGABYTE: Final = 1_000_000
_DOWNLOADED: Final = re.compile(r"\[SUCCESSFUL ?\] [^#]+#(?P<name>[^;]+);")
_NETWORK: Final = re.compile(r"access error|exception", re.IGNORECASE)
_CAUSE: Final = re.compile(r"not found|access error|exception|unresolved|failed", re.IGNORECASE)


class JarError(Exception):
    """The jars cannot be provided; the text says what was found and what to do."""


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    name: str
    version: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """Name of the file in the cache directory."""
        return f"{self.name}-{self.version}.jar"

    @property
    def label(self) -> str:
        """What a person is shown: name, version, megabytes."""
        return f"{self.name} {self.version} ({self.size / MEGABYTE:.1f} MB)"


def ivy_module(jars: Iterable[Jar]) -> str:
    """Write the request to Ivy: exactly these jars, nothing they depend on."""
    lines = [
        f"    <dependency org={quoteattr(jar.group)} name={quoteattr(jar.name)} rev={quoteattr(jar.version)}"
        ' conf="default->master" transitive="false"/>'
        for jar in jars
    ]
    return "\n".join(
        [
            '<ivy-module version="2.0">',
            '  <info organisation="tidemark" module="jars"/>',
            '  <configurations><conf name="default"/></configurations>',
            "  <dependencies>",
            *lines,
            "  </dependencies>",
            "</ivy-module>",
            "",
        ]
    )


def java(environment: Mapping[str, str]) -> str:
    """Give the Java that the environment means."""
    home = environment.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else "java"


def ivy_command(work: Path, environment: Mapping[str, str]) -> list[str]:
    """Give the command that makes Ivy fetch what ``work/ivy.xml`` asks for into ``work/jars``.

    Raises
    ------
    JarError
        When PySpark, which ships Ivy, is not installed.
    """
    shipped = sorted(Path(sysconfig.get_path("purelib"), "pyspark", "jars").glob("ivy-*.jar"))
    if not shipped:
        raise JarError("PySpark, which ships the downloader (Ivy), is not installed here. Run 'make setup'.")
    # Java has no time limit of its own: without one, a network that swallows packets would stop the set-up for ever.
    options = ["-Dsun.net.client.defaultConnectTimeout=20000", "-Dsun.net.client.defaultReadTimeout=60000"]
    # Java does not read the variables every other tool does. A proxy's password must not stand in a command line:
    # such a proxy needs the user's own Java settings.
    proxy = urlsplit(environment.get("https_proxy") or environment.get("HTTPS_PROXY") or "")
    if proxy.hostname:
        options += [f"-Dhttps.proxyHost={proxy.hostname}", f"-Dhttps.proxyPort={proxy.port or 80}"]
    settings = environment.get("TIDEMARK_IVY_SETTINGS")
    return [
        java(environment),
        *options,
        *("-cp", str(shipped[-1]), "org.apache.ivy.Main"),
        *(("-settings", settings) if settings else ()),
        *("-ivy", str(work / "ivy.xml"), "-cache", str(work / "ivy-cache"), "-types", "jar"),
        *("-retrieve", str(work / "jars" / "[artifact]-[revision].[ext]")),
    ]


def download(jars: Sequence[Jar], command: Sequence[str]) -> None:
    """Run Ivy and tell which jar has arrived.

    Raises
    ------
    JarError
        With Ivy's own first complaint, when it fails.
    """
    labels = {jar.name: jar.label for jar in jars}
    complaints: list[str] = []
    try:
        process = subprocess.Popen(  # noqa: S603 - fixed program, arguments made above
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise JarError(f"Java cannot be started ({error}). Run 'make setup', which checks it.") from error
    with process:
        for line in process.stdout or ():
            if (match := _DOWNLOADED.search(line)) and match["name"] in labels:
                say(f"  got {labels[match['name']]}")
            elif _CAUSE.search(line):
                complaints.append(line.strip(" :\t\n"))
    if process.returncode != 0:
        # "module not found" is what follows from a refused connection: the connection is what a person must fix.
        complaints.sort(key=lambda line: _NETWORK.search(line) is None)
        cause = complaints[0] if complaints else f"Ivy ended with exit code {process.returncode}"
        raise JarError(
            f"The jars could not be downloaded: {cause}\n"
            "  Expected: access to the public Maven repository, needed once for a machine.\n"
            "  What to do: check the network (a proxy: set HTTPS_PROXY; a repository of your own: set "
            "TIDEMARK_IVY_SETTINGS to an ivysettings.xml), then run 'make setup' again.\n"
            "  Without any network: copy the jars-* directory from the cache (~/.cache/tidemark) of a machine "
            "that has it."
        )


def say(text: str) -> None:
    """Print one line at once: the reader watches a download."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
