output "dagster_environment" {
  description = "Environment variables of the Dagster process; `terraform output -json dagster_environment`."
  value = {
    TRANSAK_DRIFT_PLATFORM = "gcp"
    TRANSAK_DRIFT_CONFIG   = abspath(local.config_file)
    TRANSAK_DRIFT_TRIGGER  = var.trigger
    GOOGLE_CLOUD_PROJECT   = local.project_id
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
  description = "Resource name of the topic that the log sink publishes to."
  value       = google_pubsub_topic.trigger.id
}

output "trigger_subscription" {
  description = "Resource name of the subscription that the sensor pulls; null where the Cloud Function is the trigger."
  value       = one(google_pubsub_subscription.trigger[*].id)
}

output "dead_letter_topic" {
  description = "Resource name of the topic for rejected messages."
  value       = google_pubsub_topic.dead_letter.id
}

output "dead_letter_subscription" {
  description = "Resource name of the subscription that keeps rejected messages."
  value       = google_pubsub_subscription.dead_letter.id
}

output "sink_filter" {
  description = "The log sink's filter as deployed."
  value       = google_logging_project_sink.anomalies.filter
}

output "sink_writer_identity" {
  description = "Identity with which Cloud Logging publishes to the trigger topic."
  value       = google_logging_project_sink.anomalies.writer_identity
}

output "cloud_function" {
  description = "Resource name of the Cloud Function; null where Dagster is the trigger."
  value       = one(google_cloudfunctions2_function.trigger[*].id)
}
