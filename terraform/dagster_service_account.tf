resource "google_service_account" "dagster" {
  account_id   = var.dagster_service_account_id
  display_name = substr("Dagster: monitoring and retraining of ${local.models_in_words}", 0, 100)

  depends_on = [google_project_service.required]
}

resource "google_service_account_iam_member" "dagster_impersonators" {
  for_each = var.dagster_impersonators

  service_account_id = google_service_account.dagster.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}

resource "google_pubsub_subscription_iam_member" "dagster_trigger_subscriber" {
  for_each = local.pulled_queues

  subscription = google_pubsub_subscription.trigger[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.dagster.member
}

# A subscription whose topic was deleted pulls nothing for ever: Dagster looks, and says so.
resource "google_pubsub_subscription_iam_member" "dagster_trigger_viewer" {
  for_each = local.pulled_queues

  subscription = google_pubsub_subscription.trigger[each.key].id
  role         = "roles/pubsub.viewer"
  member       = google_service_account.dagster.member
}

resource "google_pubsub_subscription_iam_member" "dagster_dead_letter_subscriber" {
  for_each = local.dead_letter_subscriptions

  subscription = google_pubsub_subscription.dead_letter[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.dagster.member
}

resource "google_pubsub_topic_iam_member" "dagster_dead_letter_publisher" {
  for_each = local.dead_letters

  topic  = google_pubsub_topic.dead_letter[each.key].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.dagster.member
}

# `transak-drift dead-letters replay` publishes a rejected message again.
resource "google_pubsub_topic_iam_member" "dagster_trigger_publisher" {
  for_each = local.queues

  topic  = google_pubsub_topic.trigger[each.key].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.dagster.member
}

resource "google_project_iam_member" "dagster_reading" {
  project = local.project_id
  role    = google_project_iam_custom_role.reading.id
  member  = google_service_account.dagster.member
}

resource "google_project_iam_member" "dagster_monitoring" {
  project = local.project_id
  role    = google_project_iam_custom_role.monitoring.id
  member  = google_service_account.dagster.member
}

resource "google_project_iam_member" "dagster_retraining" {
  project = local.project_id
  role    = google_project_iam_custom_role.retraining.id
  member  = google_service_account.dagster.member
}

# Starting a pipeline that runs as another account needs the right to act as that account.
resource "google_service_account_iam_member" "dagster_acts_as_pipeline" {
  service_account_id = "projects/${local.project_id}/serviceAccounts/${local.pipeline_service_account}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.dagster.member
}

resource "google_storage_bucket_iam_member" "dagster_pipeline_root" {
  count = var.pipeline_root_bucket == null ? 0 : 1

  bucket = var.pipeline_root_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.dagster.member
}
