# One image for webserver, daemon and code location; compose.yaml says which it is.
FROM python:3.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DAGSTER_HOME=/opt/dagster/home \
    TRANSAK_DRIFT_HOME=/var/lib/transak_drift

RUN useradd --system --uid 10001 --user-group --create-home dagster \
    && install --directory --owner=dagster --group=dagster \
        /opt/dagster/home /var/lib/transak_drift

WORKDIR /opt/transak_drift

# The lock holds every version; only what runs in production is installed from it.
COPY requirements.lock pyproject.toml README.md ./
COPY deployment/requirements.txt deployment/requirements.txt
COPY transak_drift transak_drift
RUN pip install --no-cache-dir --constraint requirements.lock \
        --requirement deployment/requirements.txt --editable .

COPY workspace.yaml monitoring_config.json ./
COPY monitoring_configs monitoring_configs
COPY deployment/workspace.yaml deployment/workspace.yaml
COPY deployment/dagster.yaml /opt/dagster/home/dagster.yaml

USER 10001:10001
EXPOSE 3000 4000
CMD ["dagster", "definitions", "validate", "--workspace", "workspace.yaml"]
