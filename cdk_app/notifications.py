"""How the platform speaks to people: the topic, its subscribers, and the key of all that is neither lake nor secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

if TYPE_CHECKING:
    from cdk_app.settings import Settings


class Operations(Construct):
    """A topic with SMS and e-mail subscribers, and a key for topic, logs and dead letters."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, log_prefixes: list[str]) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(
            self,
            "Key",
            description=f"Tidemark {settings.stage}: notifications, logs, dead letters",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        self._let_services_use_the_key(log_prefixes)
        self.topic = sns.Topic(
            self,
            "Topic",
            topic_name=f"{settings.name}-notifications",
            display_name="Tidemark",
            master_key=self.key,
            enforce_ssl=True,
        )
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsMaySpeak",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            )
        )
        for phone in settings.alarm_phones:
            self.topic.add_subscription(subscriptions.SmsSubscription(phone))
        for address in settings.alarm_emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(address))

    def _let_services_use_the_key(self, log_prefixes: list[str]) -> None:
        """Let alarms publish to the encrypted topic, and CloudWatch Logs encrypt our groups, by the key's policy."""
        stack = cdk.Stack.of(self)
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )
        groups = [
            f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:{name}*" for name in log_prefixes
        ]
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Logs",
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
            )
        )
