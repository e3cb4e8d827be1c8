"""What the jobs run, as immutable objects in the CDK's asset bucket: scripts, our package, wheels, model, authorities.

Every object's name is the hash of its content, so that a deployment never changes what a running job reads.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_s3_assets as assets
from constructs import Construct
from tidemark.jobs.definitions import STEPS, UPKEEP_STEPS, arguments_of

from cdk_app.settings import REPO

if TYPE_CHECKING:
    from pathlib import Path

JOBS_DIR: Final = REPO / "glue_jobs"
WHEELS_FILE: Final = REPO / "build" / "tidemark.gluewheels.zip"


class MissingWheelsError(Exception):
    """The archive of wheels has not been made."""


class JobAssets(Construct):
    """The objects, as bucket and key.

    Parameters
    ----------
    wheels
        The zip of wheels, made by ``make wheels``.
    model_dir
        The model folder.
    ca_bundle
        PEM file of the databases' authorities, or None for the system's.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, wheels: Path, model_dir: Path, ca_bundle: Path | None
    ) -> None:
        super().__init__(scope, construct_id)
        self.scripts = {
            key: assets.Asset(self, f"{key.capitalize()}Script", path=str(JOBS_DIR / f"{key}.py"))
            for key in (*STEPS, *UPKEEP_STEPS)
        }
        self.package = assets.Asset(
            self,
            "Package",
            path=str(JOBS_DIR),
            # The last rule counts: what Python compiles here differs from run to run, and so would the object's name.
            exclude=["*", "!tidemark", "!tidemark/**", "**/__pycache__/**"],
            ignore_mode=cdk.IgnoreMode.GIT,
        )
        self.model = assets.Asset(self, "Model", path=str(model_dir))
        self.ca_bundle = assets.Asset(self, "Authorities", path=str(ca_bundle)) if ca_bundle else None
        self.wheels = _named_asset(self, wheels, ".gluewheels")
        self.bucket_name = self.package.s3_bucket_name

    @property
    def ca_file(self) -> str:
        """What the jobs find the authorities by: a file beside the script, or the system's own."""
        return self.ca_bundle.s3_object_key if self.ca_bundle else "system"

    @property
    def model_uri(self) -> str:
        """Where the zipped model folder is."""
        return str(self.model.s3_object_url)

    def keys_of(self, job: str) -> list[str]:
        """Keys of all objects that one job reads."""
        found = [self.scripts[job].s3_object_key, self.package.s3_object_key, self.model.s3_object_key]
        found.append(self.wheels.object_key)
        return [*found, self.ca_bundle.s3_object_key] if self.ca_bundle and "ca_file" in arguments_of(job) else found


def _named_asset(scope: Construct, file: Path, ending: str) -> cdk.FileAssetLocation:
    """Stage a file whose object needs two endings, of which an asset keeps one: Glue tells a zip of wheels by them."""
    if not file.is_file():
        raise MissingWheelsError(f"{file} is missing; expected the jobs' packages for Glue; make it by: make wheels")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return cdk.Stack.of(scope).synthesizer.add_file_asset(
        file_name=str(file.resolve()),
        source_hash=f"{digest}{ending}",
        packaging=cdk.FileAssetPackaging.FILE,
        display_name="Wheels",
    )
