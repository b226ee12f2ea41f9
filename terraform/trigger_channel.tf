# The other way from a finished monitoring job to the queue: a notification channel that Vertex AI notifies
# of anomalies. Dagster adds it to the monitors of the queue's models (TRANSAK_DRIFT_TRIGGER_CHANNELS).
locals {
  channel_queues = { for topic, queue in local.queues : topic => queue if var.trigger_channel }

  trigger_channels = {
    for topic, queue in local.channel_queues : topic => google_monitoring_notification_channel.trigger[topic].name
  }

  notification_agent = "serviceAccount:service-${data.google_project.current.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
}

resource "google_monitoring_notification_channel" "trigger" {
  for_each = local.channel_queues

  display_name = substr("Drift trigger of ${each.value.models_in_words}: ${each.key}", 0, 512)
  description  = "Vertex AI Model Monitoring publishes anomalies to the trigger topic. Name it in no alert policy."
  type         = "pubsub"
  labels = {
    topic = google_pubsub_topic.trigger[each.key].id
  }
  user_labels = each.value.labels

  depends_on = [google_project_service.required]
}

resource "google_pubsub_topic_iam_member" "channel_publisher" {
  for_each = local.channel_queues

  topic  = google_pubsub_topic.trigger[each.key].id
  role   = "roles/pubsub.publisher"
  member = local.notification_agent

  # Google makes the agent with the project's first channel of this type.
  depends_on = [google_monitoring_notification_channel.trigger]
}
