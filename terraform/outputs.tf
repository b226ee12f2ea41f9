output "dagster_environment" {
  description = "Environment variables of the Dagster process; `terraform output -json dagster_environment`."
  value = {
    TRANSAK_DRIFT_PLATFORM         = "gcp"
    TRANSAK_DRIFT_CONFIG           = abspath(var.config_path)
    TRANSAK_DRIFT_TRIGGER          = var.trigger
    TRANSAK_DRIFT_TRIGGER_CHANNELS = jsonencode(local.trigger_channels)
    GOOGLE_CLOUD_PROJECT           = local.project_id
  }
}

output "live_trigger" {
  description = "What starts a training: dagster, or cloud_function (then TRANSAK_DRIFT_TRIGGER leaves the sensor out)."
  value       = var.trigger
}

output "dagster_service_account" {
  description = "E-mail of the service account that the Dagster process runs as."
  value       = google_service_account.dagster.email
}

output "trigger_topic" {
  description = "Resource name of the topic that the log sink of the first model publishes to."
  value       = google_pubsub_topic.trigger[local.first_model.trigger_topic].id
}

output "trigger_subscription" {
  description = "Resource name of the subscription that the first model's sensor pulls; null where the Cloud Function is the trigger."
  value       = var.trigger == "dagster" ? google_pubsub_subscription.trigger[local.first_model.trigger_topic].id : null
}

output "dead_letter_topic" {
  description = "Resource name of the topic for rejected messages of the first model's queue."
  value       = google_pubsub_topic.dead_letter[local.first_model.dead_letter_topic].id
}

output "dead_letter_subscription" {
  description = "Resource name of the subscription that keeps rejected messages of the first model's queue."
  value       = google_pubsub_subscription.dead_letter[local.first_model.dead_letter_subscription].id
}

output "sink_filter" {
  description = "Filter of the first model's log sink as deployed."
  value       = google_logging_project_sink.anomalies[local.first_model.model_monitor_id].filter
}

output "sink_writer_identity" {
  description = "Identity with which Cloud Logging publishes to the first model's trigger topic."
  value       = google_logging_project_sink.anomalies[local.first_model.model_monitor_id].writer_identity
}

output "cloud_function" {
  description = "Resource name of the Cloud Function of the first model's queue; null where Dagster is the trigger."
  value       = var.trigger == "cloud_function" ? google_cloudfunctions2_function.trigger[local.first_model.trigger_topic].id : null
}

output "queues" {
  description = "Resource names of every queue by its trigger topic."
  value = {
    for topic, queue in local.queues : topic => {
      trigger_topic            = google_pubsub_topic.trigger[topic].id
      trigger_subscription     = var.trigger == "dagster" ? google_pubsub_subscription.trigger[topic].id : null
      dead_letter_topic        = google_pubsub_topic.dead_letter[queue.dead_letter_topic].id
      dead_letter_subscription = google_pubsub_subscription.dead_letter[queue.dead_letter_subscription].id
      cloud_function           = var.trigger == "cloud_function" ? google_cloudfunctions2_function.trigger[topic].id : null
      notification_channel     = lookup(local.trigger_channels, topic, null)
    }
  }
}

output "sinks" {
  description = "Log sink of every model by its monitor: filter as deployed, identity, and the trigger topic that it publishes to."
  value = {
    for monitor, model in local.models : monitor => {
      filter          = google_logging_project_sink.anomalies[monitor].filter
      writer_identity = google_logging_project_sink.anomalies[monitor].writer_identity
      trigger_topic   = google_pubsub_topic.trigger[model.trigger_topic].id
    }
  }
}
