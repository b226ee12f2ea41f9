resource "google_pubsub_topic" "trigger" {
  for_each = local.queues

  name   = each.key
  labels = each.value.labels

  message_storage_policy {
    allowed_persistence_regions = [local.location]
  }

  depends_on = [google_project_service.required]
}

resource "google_pubsub_topic" "dead_letter" {
  for_each = local.dead_letters

  name   = each.key
  labels = each.value.labels

  message_storage_policy {
    allowed_persistence_regions = [local.location]
  }

  depends_on = [google_project_service.required]
}

# Only where Dagster is the trigger: a subscription that nobody pulls would fill up and alert.
resource "google_pubsub_subscription" "trigger" {
  for_each = local.pulled_queues

  name   = each.value.subscription
  topic  = google_pubsub_topic.trigger[each.key].id
  labels = each.value.labels

  ack_deadline_seconds       = 60
  message_retention_duration = "${var.message_retention_days * 24 * 60 * 60}s"
  # An acknowledgement can no longer be lost unnoticed: the client is notified, and a message that was
  # acknowledged is not sent again. It does not replace the run key: the log router may publish the
  # same anomaly twice, as two messages.
  enable_exactly_once_delivery = true

  expiration_policy {
    # Never: a monitor without drift for a month is the good case.
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic = google_pubsub_topic.dead_letter[each.value.dead_letter_topic].id
    # The greatest that Pub/Sub allows. The sensor itself sends a bad message to the dead letters,
    # with the reason, on its first delivery; a good one may legitimately be delivered often while
    # a training is in flight or Dagster is down. This is only the last resort.
    max_delivery_attempts = 100
  }
}

resource "google_pubsub_subscription" "dead_letter" {
  for_each = local.dead_letter_subscriptions

  name   = each.key
  topic  = google_pubsub_topic.dead_letter[each.value.dead_letter_topic].id
  labels = each.value.labels

  ack_deadline_seconds       = 60
  message_retention_duration = "${var.dead_letter_retention_days * 24 * 60 * 60}s"

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub forwards an undeliverable message as its own service agent: it publishes the message to
# the dead letters and acknowledges it in the subscription it came from.
resource "google_pubsub_topic_iam_member" "service_agent_dead_letter_publisher" {
  for_each = local.dead_letters

  topic  = google_pubsub_topic.dead_letter[each.key].id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_service_agent
}

resource "google_pubsub_subscription_iam_member" "service_agent_trigger_subscriber" {
  for_each = local.pulled_queues

  subscription = google_pubsub_subscription.trigger[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_service_agent
}
