data "archive_file" "cloud_function" {
  for_each = local.pushed_queues

  type             = "zip"
  output_path      = "${path.root}/.terraform/${each.value.function_name}.zip"
  output_file_mode = "0644"

  dynamic "source" {
    for_each = merge(local.cloud_function_files, local.cloud_function_configs[each.key])

    content {
      filename = source.key
      content  = file(source.value)
    }
  }
}

resource "google_storage_bucket" "cloud_function_source" {
  for_each = local.pushed_queues

  name     = each.value.function_bucket
  location = local.location
  labels   = each.value.labels

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # It holds nothing but archives that are built from this repository.
  force_destroy = true

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age                = 30
      num_newer_versions = 3
    }
  }

  versioning {
    enabled = true
  }

  depends_on = [google_project_service.required]
}

resource "google_storage_bucket_object" "cloud_function_source" {
  for_each = local.pushed_queues

  # The name changes with the content, so that a change is deployed.
  name   = "source-${data.archive_file.cloud_function[each.key].output_md5}.zip"
  bucket = google_storage_bucket.cloud_function_source[each.key].name
  source = data.archive_file.cloud_function[each.key].output_path
}

resource "google_service_account" "cloud_function" {
  for_each = local.pushed_queues

  account_id   = each.value.function_name
  display_name = substr("Cloud Function: retraining of ${each.value.models_in_words} on drift", 0, 100)

  depends_on = [google_project_service.required]
}

resource "google_cloudfunctions2_function" "trigger" {
  for_each = local.pushed_queues

  name        = each.value.function_name
  location    = local.location
  description = "Starts ${local.pipelines_in_words} on a drift anomaly of ${each.value.monitors_in_words}."
  labels      = each.value.labels

  build_config {
    runtime     = "python312"
    entry_point = "handle_drift_message"

    source {
      storage_source {
        bucket = google_storage_bucket.cloud_function_source[each.key].name
        object = google_storage_bucket_object.cloud_function_source[each.key].name
      }
    }
  }

  service_config {
    available_memory               = "512Mi"
    timeout_seconds                = 120
    min_instance_count             = 0
    max_instance_count             = 1
    ingress_settings               = "ALLOW_INTERNAL_ONLY"
    all_traffic_on_latest_revision = true
    service_account_email          = google_service_account.cloud_function[each.key].email

    environment_variables = {
      TRANSAK_DRIFT_PLATFORM = "gcp"
      TRANSAK_DRIFT_CONFIG   = contains(each.value.files, var.config_path) ? "monitoring_config.json" : "monitoring_configs"
    }
  }

  event_trigger {
    trigger_region        = local.location
    event_type            = "google.cloud.pubsub.topic.v1.messagePublished"
    pubsub_topic          = google_pubsub_topic.trigger[each.key].id
    service_account_email = google_service_account.cloud_function[each.key].email
    # The function answers a final failure with success after it has sent it to the dead letters,
    # so that only failures worth a repetition are delivered again.
    retry_policy = "RETRY_POLICY_RETRY"
  }

  depends_on = [
    google_project_iam_member.cloud_function_reading,
    google_project_iam_member.cloud_function_retraining,
    google_pubsub_topic_iam_member.cloud_function_dead_letter_publisher,
    google_service_account_iam_member.cloud_function_acts_as_pipeline,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "cloud_function_invoker" {
  for_each = local.pushed_queues

  name     = google_cloudfunctions2_function.trigger[each.key].name
  location = local.location
  role     = "roles/run.invoker"
  member   = google_service_account.cloud_function[each.key].member
}

resource "google_project_iam_member" "cloud_function_reading" {
  for_each = local.pushed_queues

  project = local.project_id
  role    = google_project_iam_custom_role.reading.id
  member  = google_service_account.cloud_function[each.key].member
}

resource "google_project_iam_member" "cloud_function_retraining" {
  for_each = local.pushed_queues

  project = local.project_id
  role    = google_project_iam_custom_role.retraining.id
  member  = google_service_account.cloud_function[each.key].member
}

resource "google_pubsub_topic_iam_member" "cloud_function_dead_letter_publisher" {
  for_each = local.pushed_queues

  topic  = google_pubsub_topic.dead_letter[each.value.dead_letter_topic].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.cloud_function[each.key].member
}

resource "google_service_account_iam_member" "cloud_function_acts_as_pipeline" {
  for_each = local.pushed_queues

  service_account_id = "projects/${local.project_id}/serviceAccounts/${local.pipeline_service_account}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.cloud_function[each.key].member
}

resource "google_storage_bucket_iam_member" "cloud_function_pipeline_root" {
  for_each = { for topic, queue in local.pushed_queues : topic => queue if var.pipeline_root_bucket != null }

  bucket = var.pipeline_root_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.cloud_function[each.key].member
}
