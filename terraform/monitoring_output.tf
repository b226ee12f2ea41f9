# The buckets that the configurations name in vertex.monitoring_output: Vertex AI writes statistics there,
# and Dagster the pages of its reports. Without one Vertex AI makes a bucket, which needs no grant.
locals {
  monitoring_output_buckets = toset([
    for model in local.models_in_order : regex("^gs://([^/]+)", model.monitoring_output)[0]
    if model.monitoring_output != null
  ])

  monitoring_agent = "serviceAccount:service-${data.google_project.current.number}@gcp-sa-vertex-mm.iam.gserviceaccount.com"
}

resource "google_storage_bucket_iam_member" "monitoring_agent_output" {
  for_each = local.monitoring_output_buckets

  bucket = each.value
  role   = "roles/storage.objectUser"
  member = local.monitoring_agent

  depends_on = [google_project_service.required]
}

resource "google_storage_bucket_iam_member" "dagster_output" {
  for_each = local.monitoring_output_buckets

  bucket = each.value
  role   = "roles/storage.objectUser"
  member = google_service_account.dagster.member
}
