# A function's archive: its entry point and requirements at the root, where the buildpack looks, and
# beside them the parts of transak_drift that it imports and the configurations of its models.
locals {
  repository_root = "${path.module}/.."

  cloud_function_modules = toset(flatten([
    for pattern in [
      "transak_drift/__init__.py",
      "transak_drift/py.typed",
      "transak_drift/platform.py",
      "transak_drift/cloud_function/*.py",
      "transak_drift/{config,drift,training,trigger}/*.{py,tftpl}",
      "transak_drift/google_cloud/*.py",
      "transak_drift/{pubsub,vertex}/*.py",
    ] : tolist(fileset(local.repository_root, pattern))
  ]))

  cloud_function_files = merge(
    { for name in local.cloud_function_modules : name => "${local.repository_root}/${name}" },
    {
      "main.py"          = "${local.repository_root}/transak_drift/cloud_function/main.py"
      "requirements.txt" = "${local.repository_root}/transak_drift/cloud_function/requirements.txt"
    },
  )

  # Files of the folder stay in it, since Dagster and the function name a model's assets by its file.
  packed_configs = {
    for path in local.models_in_order[*].file :
    path => path == var.config_path ? "monitoring_config.json" : "monitoring_configs/${basename(path)}"
  }
  cloud_function_configs = {
    for topic, queue in local.queues :
    topic => { for path in queue.files : local.packed_configs[path] => path }
  }
}
