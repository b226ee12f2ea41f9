resource "google_monitoring_alert_policy" "unacknowledged" {
  for_each = local.pulled_queues

  display_name = "Drift messages wait: ${each.value.subscription}"
  combiner     = "OR"
  severity     = "ERROR"

  conditions {
    display_name = "Oldest unacknowledged message above ${var.unacknowledged_age_minutes} minutes"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.trigger[each.key].name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
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
    content   = "Drift messages of `${each.value.monitors}` are not acknowledged. Is Dagster's daemon running, and `drift_message_sensor` switched on? Its last ticks have the error."
  }

  notification_channels = each.value.notification_channels

  depends_on = [google_project_service.required]
}

resource "google_monitoring_alert_policy" "dead_letters" {
  for_each = local.dead_letter_subscriptions

  display_name = "Rejected drift messages: ${each.key}"
  combiner     = "OR"
  severity     = "WARNING"

  conditions {
    display_name = "Messages in the dead letters"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.dead_letter[each.key].name}\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
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
    content   = "Messages on `${each.value.trigger_topics}` were rejected. `transak-drift dead-letters list` shows each reason, `transak-drift dead-letters replay` publishes them again."
  }

  notification_channels = each.value.notification_channels

  depends_on = [google_project_service.required]
}

resource "google_monitoring_alert_policy" "cloud_function_errors" {
  for_each = local.pushed_queues

  display_name = "Drift messages fail: ${each.value.function_name}"
  combiner     = "OR"
  severity     = "ERROR"

  conditions {
    display_name = "Answers with status 5xx for ${var.unacknowledged_age_minutes} minutes"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${each.value.function_name}\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
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
    content   = "`${each.value.function_name}` keeps failing on drift messages of `${each.value.monitors}`; Eventarc redelivers them until they expire. Its log has the error."
  }

  notification_channels = each.value.notification_channels

  depends_on = [google_project_service.required]
}
