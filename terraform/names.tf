# Every name comes from the monitoring configuration that Dagster reads. The defaults of its
# optional keys are those of transak_drift/core/config.py; the test suite holds the two together.
locals {
  config_file = coalesce(var.config_path, "${path.module}/../monitoring_config.json")
  config      = jsondecode(file(local.config_file))

  project_id            = local.config.project_id
  location              = local.config.location
  notification_channels = local.config.notification_channels

  monitor_id_from_display_name = trim(substr(trim(replace(lower(local.config.monitoring_job_display_name), "/[^a-z0-9]+/", "-"), "-"), 0, 63), "-")

  model_monitor_id         = try(local.config.model_monitor_id, local.monitor_id_from_display_name)
  training_pipeline        = try(local.config.training_pipeline, "pipeline-train")
  trigger_topic            = try(local.config.trigger_topic, "ps-transak-i1-train-trigger")
  trigger_subscription     = try(local.config.trigger_subscription, "${local.trigger_topic}-subscription")
  dead_letter_topic        = try(local.config.dead_letter_topic, "${local.trigger_topic}-dead-letter")
  dead_letter_subscription = try(local.config.dead_letter_subscription, "${local.dead_letter_topic}-subscription")

  sink_name = "${local.model_monitor_id}-anomalies"
  sink_filter = templatefile("${path.module}/../transak_drift/core/sink_filter.tftpl", {
    project_id       = local.project_id
    location         = local.location
    model_monitor_id = local.model_monitor_id
  })

  labels = {
    component = "transak-drift"
    monitor   = local.model_monitor_id
  }
}

# Refuses, before anything is created, a configuration that Dagster would refuse for the same names.
resource "terraform_data" "config" {
  input = local.config_file

  lifecycle {
    precondition {
      condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", local.project_id))
      error_message = "project_id in ${local.config_file} is not a project id: ${local.project_id}."
    }
    precondition {
      condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", local.location))
      error_message = "location in ${local.config_file} is not a region: ${local.location}."
    }
    precondition {
      condition     = can(regex("^([a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,18})$", local.model_monitor_id))
      error_message = "model_monitor_id in ${local.config_file} is not an id of lower-case letters, digits and hyphens that starts with a letter: ${local.model_monitor_id}."
    }
    precondition {
      condition = alltrue([
        for name in [local.trigger_topic, local.trigger_subscription, local.dead_letter_topic, local.dead_letter_subscription] :
        can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", name)) && !startswith(lower(name), "goog")
      ])
      error_message = "A Pub/Sub name in ${local.config_file} is not valid: 3 to 255 characters, a letter first, not beginning with goog."
    }
    precondition {
      condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", local.training_pipeline))
      error_message = "training_pipeline in ${local.config_file} is not a name of a pipeline: ${local.training_pipeline}."
    }
    precondition {
      condition     = local.dead_letter_topic != local.trigger_topic
      error_message = "dead_letter_topic in ${local.config_file} is the trigger topic itself: rejected messages would return for ever."
    }
    precondition {
      condition     = local.dead_letter_subscription != local.trigger_subscription
      error_message = "dead_letter_subscription in ${local.config_file} is the trigger subscription itself: it cannot be bound to both topics."
    }
    precondition {
      condition     = local.config.log_anomalies
      error_message = "log_anomalies in ${local.config_file} is false, so that no anomaly would ever reach the sink; set it to true."
    }
  }
}
