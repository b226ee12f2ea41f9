locals {
  cloud_function_count = var.trigger == "cloud_function" ? 1 : 0
}

data "archive_file" "cloud_function" {
  count = local.cloud_function_count

  type             = "zip"
  output_path      = "${path.root}/.terraform/${var.cloud_function_name}.zip"
  output_file_mode = "0644"

  dynamic "source" {
    for_each = var.trigger == "cloud_function" ? local.cloud_function_files : {}

    content {
      filename = source.key
      content  = file(source.value)
    }
  }
}

resource "google_storage_bucket" "cloud_function_source" {
  count = local.cloud_function_count

  name     = "${local.project_id}-${var.cloud_function_name}-src"
  location = local.location
  labels   = local.labels

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
  count = local.cloud_function_count

  # The name changes with the content, so that a change is deployed.
  name   = "source-${data.archive_file.cloud_function[count.index].output_md5}.zip"
  bucket = google_storage_bucket.cloud_function_source[count.index].name
  source = data.archive_file.cloud_function[count.index].output_path
}

resource "google_service_account" "cloud_function" {
  count = local.cloud_function_count

  account_id   = var.cloud_function_name
  display_name = "Cloud Function: retraining of ${local.config.model_name} on drift"

  depends_on = [google_project_service.required]
}

resource "google_cloudfunctions2_function" "trigger" {
  count = local.cloud_function_count

  name        = var.cloud_function_name
  location    = local.location
  description = "Starts ${local.training_pipeline} on a drift anomaly of ${local.model_monitor_id}."
  labels      = local.labels

  build_config {
    runtime     = "python312"
    entry_point = "handle_drift_message"

    source {
      storage_source {
        bucket = google_storage_bucket.cloud_function_source[count.index].name
        object = google_storage_bucket_object.cloud_function_source[count.index].name
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
    service_account_email          = google_service_account.cloud_function[count.index].email

    environment_variables = {
      TRANSAK_DRIFT_PLATFORM = "gcp"
      TRANSAK_DRIFT_CONFIG   = "monitoring_config.json"
    }
  }

  event_trigger {
    trigger_region        = local.location
    event_type            = "google.cloud.pubsub.topic.v1.messagePublished"
    pubsub_topic          = google_pubsub_topic.trigger.id
    service_account_email = google_service_account.cloud_function[count.index].email
    # The function answers a final failure with success after it has sent it to the dead letters,
    # so that only failures worth a repetition are delivered again.
    retry_policy = "RETRY_POLICY_RETRY"
  }

  depends_on = [
    google_project_iam_member.cloud_function_retraining,
    google_pubsub_topic_iam_member.cloud_function_dead_letter_publisher,
    google_service_account_iam_member.cloud_function_acts_as_pipeline,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "cloud_function_invoker" {
  count = local.cloud_function_count

  name     = google_cloudfunctions2_function.trigger[count.index].name
  location = local.location
  role     = "roles/run.invoker"
  member   = google_service_account.cloud_function[count.index].member
}

resource "google_project_iam_member" "cloud_function_retraining" {
  count = local.cloud_function_count

  project = local.project_id
  role    = google_project_iam_custom_role.retraining.id
  member  = google_service_account.cloud_function[count.index].member
}

resource "google_pubsub_topic_iam_member" "cloud_function_dead_letter_publisher" {
  count = local.cloud_function_count

  topic  = google_pubsub_topic.dead_letter.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.cloud_function[count.index].member
}

resource "google_service_account_iam_member" "cloud_function_acts_as_pipeline" {
  count = local.cloud_function_count

  service_account_id = "projects/${local.project_id}/serviceAccounts/${local.pipeline_service_account}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.cloud_function[count.index].member
}

resource "google_storage_bucket_iam_member" "cloud_function_pipeline_root" {
  count = var.pipeline_root_bucket == null ? 0 : local.cloud_function_count

  bucket = var.pipeline_root_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.cloud_function[count.index].member
}
