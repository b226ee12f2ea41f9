resource "google_logging_project_sink" "anomalies" {
  name        = local.sink_name
  description = "Drift anomalies of the model monitor ${local.model_monitor_id}, to start its retraining."
  destination = "pubsub.googleapis.com/${google_pubsub_topic.trigger.id}"
  filter      = local.sink_filter

  unique_writer_identity = true

  depends_on = [google_project_service.required]
}

resource "google_pubsub_topic_iam_member" "sink_publisher" {
  topic  = google_pubsub_topic.trigger.id
  role   = "roles/pubsub.publisher"
  member = google_logging_project_sink.anomalies.writer_identity
}
