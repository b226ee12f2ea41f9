resource "google_logging_project_sink" "anomalies" {
  for_each = local.models

  name        = "${each.key}-anomalies"
  description = "Drift anomalies of the model monitor ${each.key}, to start its retraining."
  destination = "pubsub.googleapis.com/${google_pubsub_topic.trigger[each.value.trigger_topic].id}"
  filter = templatefile("${path.module}/../transak_drift/trigger/sink_filter.tftpl", {
    model_monitor_pattern = each.value.model_monitor_pattern
  })

  unique_writer_identity = true

  depends_on = [google_project_service.required]
}

# One grant for each queue, not for each sink: the sinks of a project publish as one service agent, so
# that taking away the grant of one model's sink would silence those of the others.
resource "google_pubsub_topic_iam_member" "sink_publisher" {
  for_each = local.queues

  topic  = google_pubsub_topic.trigger[each.key].id
  role   = "roles/pubsub.publisher"
  member = google_logging_project_sink.anomalies[each.value.first_monitor].writer_identity

  lifecycle {
    precondition {
      condition = length(distinct([
        for monitor, model in local.models : google_logging_project_sink.anomalies[monitor].writer_identity
        if model.trigger_topic == each.key
      ])) == 1
      error_message = "The sinks that publish to ${each.key} do so as different identities. Cloud Logging gives all new sinks of a project the same one: replace the older sinks, terraform apply -replace='google_logging_project_sink.anomalies[\"MONITOR\"]'."
    }
  }
}
