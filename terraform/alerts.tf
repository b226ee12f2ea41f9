resource "google_monitoring_alert_policy" "unacknowledged" {
  count = length(google_pubsub_subscription.trigger)

  display_name = "Drift messages wait: ${local.trigger_subscription}"
  combiner     = "OR"
  severity     = "ERROR"

  conditions {
    display_name = "Oldest unacknowledged message above ${var.unacknowledged_age_minutes} minutes"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.trigger[count.index].name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.unacknowledged_age_minutes * 60
      duration        = "300s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Drift messages of `${local.model_monitor_id}` are not acknowledged. Is Dagster's daemon running, and `drift_message_sensor` switched on? Its last ticks tell the error."
  }

  notification_channels = local.notification_channels

  depends_on = [google_project_service.required]
}

resource "google_monitoring_alert_policy" "dead_letters" {
  display_name = "Rejected drift messages: ${local.dead_letter_subscription}"
  combiner     = "OR"
  severity     = "WARNING"

  conditions {
    display_name = "Messages in the dead letters"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.dead_letter.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Messages on `${local.trigger_topic}` were rejected. `transak-drift dead-letters list` tells each reason, `transak-drift dead-letters replay` publishes them anew."
  }

  notification_channels = local.notification_channels

  depends_on = [google_project_service.required]
}

resource "google_monitoring_alert_policy" "cloud_function_errors" {
  count = var.trigger == "cloud_function" ? 1 : 0

  display_name = "Drift messages fail: ${var.cloud_function_name}"
  combiner     = "OR"
  severity     = "ERROR"

  conditions {
    display_name = "Answers with status 5xx for ${var.unacknowledged_age_minutes} minutes"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${var.cloud_function_name}\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "${var.unacknowledged_age_minutes * 60}s"

      aggregations {
        alignment_period     = "600s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "`${var.cloud_function_name}` keeps failing on drift messages of `${local.model_monitor_id}`; Eventarc redelivers them until they expire. Its logs tell the error."
  }

  notification_channels = local.notification_channels

  depends_on = [google_project_service.required]
}
