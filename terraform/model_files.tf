# The monitoring configurations: the same files, in the same order, as Dagster reads them
# (transak_drift/config/model_configs.py). Adding a model is adding a file.
locals {
  config_path      = coalesce(var.config_path, "${path.module}/../monitoring_config.json")
  config_is_folder = try(length(fileset(local.config_path, "*.json")) > 0, false)
  models_folder    = local.config_is_folder ? local.config_path : "${dirname(local.config_path)}/monitoring_configs"

  names_in_folder = [
    for name in sort(try(fileset(local.models_folder, "*.json"), [])) : name
    if !startswith(name, ".") && !endswith(name, ".schema.json")
  ]
  names_in_order = local.config_is_folder ? concat(
    [for name in local.names_in_folder : name if name == "monitoring_config.json"],
    [for name in local.names_in_folder : name if name != "monitoring_config.json"],
  ) : local.names_in_folder

  config_files = concat(
    local.config_is_folder ? [] : [local.config_path],
    [for name in local.names_in_order : "${local.models_folder}/${name}"],
  )
  documents = { for path in local.config_files : path => jsondecode(file(path)) }
}
