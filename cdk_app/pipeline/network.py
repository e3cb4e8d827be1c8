"""Where the jobs stand in the network, and whom they may talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_glue as glue
from constructs import Construct

from cdk_app.acknowledgements import acknowledge

if TYPE_CHECKING:
    from cdk_app.settings import Settings

_HTTPS = 443


class JobNetwork(Construct):
    """A security group for the jobs, rules that let them into the databases, and Glue's connection to the subnet."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, name: str) -> None:
        super().__init__(scope, construct_id)
        vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=settings.vpc_id,
            availability_zones=[settings.availability_zone],
            private_subnet_ids=[settings.subnet_id],
        )
        self.security_group = ec2.SecurityGroup(
            self, "Jobs", vpc=vpc, description="Tidemark jobs", allow_all_outbound=False
        )
        # Glue's own demand: the workers of a job talk to each other on any port.
        self.security_group.add_ingress_rule(self.security_group, ec2.Port.all_tcp(), "between the workers")
        self.security_group.add_egress_rule(self.security_group, ec2.Port.all_tcp(), "between the workers")
        self.security_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(_HTTPS), "AWS: endpoints or NAT")
        for kind, group, port in _databases(settings):
            database = ec2.SecurityGroup.from_security_group_id(self, kind, group)
            database.add_ingress_rule(self.security_group, ec2.Port.tcp(port), f"Tidemark {settings.stage}: {kind}")
            self.security_group.add_egress_rule(database, ec2.Port.tcp(port), kind)
        self.connection_name = f"{name}-network"
        self.connection = glue.Connection(
            self,
            "Connection",
            connection_name=self.connection_name,
            type=glue.ConnectionType.NETWORK,
            description="Puts Tidemark's jobs into the databases' network",
            network=glue.ConnectionNetwork.subnet(
                ec2.Subnet.from_subnet_attributes(
                    self, "Subnet", subnet_id=settings.subnet_id, availability_zone=settings.availability_zone
                )
            ),
            security_groups=[self.security_group],
        )
        acknowledge(self.connection, "CloudFormation-Validate::W3010")
        acknowledge(self, "Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId")
        plain = self.connection.node.default_child
        assert isinstance(plain, cdk.CfnResource)  # noqa: S101 # nosec B101 # an L2's own resource
        plain.add_metadata("cfn-lint", {"config": {"ignore_checks": ["W3010"]}})


def _databases(settings: Settings) -> list[tuple[str, str, int]]:
    source = ("source", settings.source_security_group, settings.source_port)
    warehouse = ("warehouse", settings.warehouse_group, settings.warehouse_port)
    return [source] if source[1:] == warehouse[1:] else [source, warehouse]
