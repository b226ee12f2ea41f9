locals {
  services = toset(concat(
    [
      "aiplatform.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
    ],
    var.trigger == "cloud_function" ? [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudfunctions.googleapis.com",
      "eventarc.googleapis.com",
      "run.googleapis.com",
      "storage.googleapis.com",
    ] : [],
  ))
}

resource "google_project_service" "required" {
  for_each = local.services

  service = each.value
  # Other systems of the project may use the same API.
  disable_on_destroy = false

  depends_on = [terraform_data.config, terraform_data.cloud_function]
}

data "google_project" "current" {
  project_id = local.project_id

  lifecycle {
    postcondition {
      condition = alltrue([
        for model in local.models_in_order : coalesce(model.project_number, self.number) == self.number
      ])
      error_message = "project_number in ${join(", ", [for model in local.models_in_order : model.file if coalesce(model.project_number, self.number) != self.number])} is not the number of ${local.project_id}, ${self.number}: every drift message would be rejected as another project's."
    }
  }
}

locals {
  pubsub_service_agent     = "serviceAccount:service-${data.google_project.current.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  pipeline_service_account = coalesce(var.pipeline_service_account, "${data.google_project.current.number}-compute@developer.gserviceaccount.com")
}
