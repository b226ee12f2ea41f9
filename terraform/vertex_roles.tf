# Vertex AI has no IAM policy on a model monitor or a pipeline job, so these rights are given on the
# project; custom roles keep them to the calls that are made, where roles/aiplatform.user would
# also allow to delete models and deploy endpoints.
locals {
  role_prefix = substr(replace(local.first_model.model_monitor_id, "-", "_"), 0, 50)
}

resource "google_project_iam_custom_role" "monitoring" {
  role_id     = "${local.role_prefix}_monitoring"
  title       = "Model monitoring of ${local.monitors_in_words}"
  description = "Create, update and run a Vertex AI ModelMonitor."

  permissions = [
    "aiplatform.batchPredictionJobs.list",
    "aiplatform.modelEvaluations.list",
    "aiplatform.modelMonitoringJobs.create",
    "aiplatform.modelMonitors.create",
    "aiplatform.modelMonitors.update",
  ]

  depends_on = [google_project_service.required]
}

resource "google_project_iam_custom_role" "reading" {
  role_id     = "${local.role_prefix}_reading"
  title       = "Model monitoring, read only, of ${local.monitors_in_words}"
  description = "Read Vertex AI ModelMonitors, their jobs and what the jobs found."

  permissions = [
    "aiplatform.modelMonitoringJobs.get",
    "aiplatform.modelMonitoringJobs.list",
    "aiplatform.modelMonitors.get",
    "aiplatform.modelMonitors.list",
    "aiplatform.modelMonitors.searchModelMonitoringAlerts",
    "aiplatform.modelMonitors.searchModelMonitoringStats",
    "aiplatform.models.get",
    "aiplatform.models.list",
  ]

  depends_on = [google_project_service.required]
}

resource "google_project_iam_custom_role" "retraining" {
  role_id     = "${local.role_prefix}_retraining"
  title       = "Retraining on drift of ${local.monitors_in_words}"
  description = "Start ${local.pipelines_in_words} and follow it."

  permissions = [
    "aiplatform.pipelineJobs.cancel",
    "aiplatform.pipelineJobs.create",
    "aiplatform.pipelineJobs.get",
    "aiplatform.pipelineJobs.list",
  ]

  depends_on = [google_project_service.required]
}
