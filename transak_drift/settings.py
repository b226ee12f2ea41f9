"""Settings of the process, from environment variables; what is monitored is in the config file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Json, NonNegativeInt, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from transak_drift.config.data_source import is_in_bigquery
from transak_drift.config.errors import ConfigError, ConfigFault, faults_from_pydantic
from transak_drift.config.model_configs import load_configs
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import WindowLength
from transak_drift.config.sections import NotificationChannel, PubSubId

ENVIRONMENT_PREFIX = "TRANSAK_DRIFT_"
MIN_ROWS_PER_DAY = 100


class Settings(BaseSettings):
    """Each field is read from `TRANSAK_DRIFT_<FIELD>`; an empty variable counts as not set."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
    )

    platform: Literal["local", "gcp"] = "local"
    """local needs no account; gcp is Vertex AI and Pub/Sub."""

    trigger: Literal["dagster", "cloud_function"] = "dagster"
    """What starts a training; with cloud_function Dagster has no such sensor."""

    trigger_channels: Json[dict[PubSubId, NotificationChannel]] = Field(
        default_factory=dict, validate_default=False
    )
    """JSON object of notification channels by the trigger topic that they publish to, as Terraform
    outputs it; Vertex AI notifies them besides `notification_channels`."""

    config: Path = Path("monitoring_config.json")
    """The monitoring configuration, beside which a folder monitoring_configs may hold one for each
    further model; or a folder of configurations."""

    home: Path = Path(".transak_drift")
    """Directory in which the local platform keeps its data."""

    transactions: str | None = None
    """Your own Parquet or CSV; takes the place of `transactions` in the config."""

    monitoring_window: WindowLength | None = None
    """day, week or month; takes the place of `monitoring_window` in the config."""

    rows_per_day: Annotated[int, Field(ge=MIN_ROWS_PER_DAY, le=100_000_000)] = 5_000
    """Generated transactions a day."""

    seed: NonNegativeInt = 7
    """Seed of the generator."""

    drift_from: date | None = None
    """Generated transactions drift from this day on."""

    drift_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the generated transactions that drifts."""

    sensor_interval_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Least seconds between two ticks of the drift message sensor."""

    heartbeat_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    """Seconds between two heartbeats of a run; one that misses nine has failed."""

    vertex_endpoint: Annotated[str, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")] | None = None
    """host:port of Vertex AI in place of the region's own endpoint; on loopback it is spoken to
    without encryption and credentials."""

    google_apis_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    """http://127.0.0.1:port in place of Cloud Logging and the Resource Manager, for
    `transak-drift doctor` without Google Cloud."""

    impersonate_service_account: (
        Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.gserviceaccount\.com$")] | None
    ) = None
    """E-mail of the service account that is acted as on Google Cloud."""

    cancel_training_with_run: bool = False
    """Cancel the Vertex AI PipelineJob when its Dagster run is cancelled."""

    dagster_url: Annotated[str, Field(pattern=r"^https?://[^\s<>|\"?#]+$")] | None = None
    """Address of the Dagster UI, which notifications link to."""

    slack_token: SecretStr | None = None
    """Bot token of Slack with the scope chat:write."""

    slack_api_url: Annotated[
        str, Field(pattern=r"^(https://[^\s]+|http://127\.0\.0\.1(:[0-9]{1,5})?(/[^\s]*)?)/$")
    ] = "https://slack.com/api/"
    """Where Slack's Web API answers; unencrypted only on loopback."""

    smtp_host: Annotated[str, Field(pattern=r"^[^\s/@:]+$")] | None = None
    """Mail server that takes the notifications."""

    smtp_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Port of the mail server; by default 587, or 465 with tls."""

    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; none allows no login except on loopback."""

    smtp_username: str | None = None
    """Login at the mail server."""

    smtp_password: SecretStr | None = None
    """Password of the login at the mail server."""

    @property
    def config_overrides(self) -> dict[str, Any]:
        """What takes the place of keys of every configuration."""
        length = self.monitoring_window
        return {} if length is None else {"monitoring_window": length}

    def load_configs(self) -> tuple[MonitoringConfig, ...]:
        """Read the configurations of all models, as the environment changes them.

        A ConfigError lists every fault.
        """
        configs = load_configs(self.config, self.config_overrides)
        unsent = "would never be sent: with TRANSAK_DRIFT_TRIGGER=cloud_function Dagster hears none"
        fix = "remove it, and set user_emails and notification_channels, which Vertex AI notifies"
        faults = [
            ConfigFault("notifications", config.model_name, unsent, fix)
            for config in configs
            if config.notifications is not None and self.trigger == "cloud_function"
        ]
        unasked = "keeps no event waiting: TRANSAK_DRIFT_TRIGGER=cloud_function remembers none"
        automatic = "write automatic, or let Dagster's sensor be the trigger"
        faults += [
            ConfigFault("retrain_policy.approval", "manual", unasked, automatic)
            for config in configs
            if config.retrain_policy.approval == "manual" and self.trigger == "cloud_function"
        ]
        faults += [fault for config in configs for fault in self._label_faults(config)]
        if self.transactions is not None and len(configs) > 1:
            problem = "would be the transactions of each of several models"
            fix = "set `transactions` in the configuration of the model that they belong to"
            variable = "TRANSAK_DRIFT_TRANSACTIONS"
            faults.append(ConfigFault(variable, self.transactions, problem, fix))
        completed = []
        for config in configs:
            try:
                completed.append(self._completed(config))
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError("the configuration", faults)
        return tuple(completed)

    def _label_faults(self, config: MonitoringConfig) -> Iterator[ConfigFault]:
        """Find why events of a model could not wait for labels where the configuration says so."""
        if config.labels is None:
            return
        value = config.labels.model_dump(exclude_unset=True)
        if self.trigger == "cloud_function":
            problem = "keeps no event waiting: TRANSAK_DRIFT_TRIGGER=cloud_function remembers none"
            fix = "remove it, or let Dagster's sensor be the trigger"
            yield ConfigFault("labels", value, problem, fix)
        if self.platform == "local":
            return
        vertex = config.vertex
        if not is_in_bigquery(vertex.prediction_dataset, vertex.prediction_query):
            problem = "cannot be counted: the rows that are monitored are not in BigQuery"
            fix = f"select them with {config.label_column} by vertex.prediction_query, or remove it"
            yield ConfigFault("labels", value, problem, fix)
        knows_classes = is_in_bigquery(vertex.training_dataset, vertex.training_query)
        if config.labels.expected is None and not knows_classes:
            problem = "is not set, and the data that tell the champion's classes not in BigQuery"
            fix = "name the classes, or write vertex.training_query"
            yield ConfigFault("labels.expected", None, problem, fix)

    def _completed(self, config: MonitoringConfig) -> MonitoringConfig:
        """Add what the environment and the user's own data say to a configuration."""
        changes: dict[str, Any] = {}
        channel = self.trigger_channels.get(config.trigger_topic)
        if channel is not None and channel not in config.notification_channels:
            changes["notification_channels"] = (*config.notification_channels, channel)
        if self.transactions is not None:
            changes["transactions"] = self.transactions
        config = config.model_copy(update=changes)
        if self.platform == "gcp" or config.transactions is None:
            return config
        # DuckDB takes a moment to import; only the user's own data need it this early.
        from transak_drift.local.dataset_files import DatasetError
        from transak_drift.local.file_transactions import complete_config

        try:
            return complete_config(config)
        except DatasetError as error:
            fault = ConfigFault("transactions", config.transactions, error.problem, error.fix)
            raise ConfigError("the configuration", [fault]) from None

    def load_config(self, model_name: str | None = None) -> MonitoringConfig:
        """Read the configuration of the model of that name or prefix, or of the only model."""
        configs = self.load_configs()
        if model_name is None and len(configs) == 1:
            return configs[0]
        for config in configs:
            if model_name is not None and model_name in (config.model_name, config.asset_prefix):
                return config
        names = ", ".join(config.model_name for config in configs)
        problem = "is not set" if model_name is None else "is not the name of a monitored model"
        fault = ConfigFault("--model", model_name, problem, f"name one of: {names}")
        raise ConfigError("the command", [fault])


def load_settings() -> Settings:
    """Read the settings from the environment; a ConfigError lists every wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        faults = []
        for item, fault in faults_from_pydantic(error, Settings):
            name = f"{ENVIRONMENT_PREFIX}{item['loc'][0]}".upper()
            faults.append(replace(fault, path=name, value=os.environ.get(name, fault.value)))
        raise ConfigError("the environment", faults) from None
