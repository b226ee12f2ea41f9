# Every name comes from the monitoring configurations, whose validated values
# `transak-drift config terraform` writes: no default and no rule of theirs is repeated here.
locals {
  models_in_order = var.models

  # For each model those before it.
  earlier_models = {
    for number, model in local.models_in_order :
    model.file => [for position, other in local.models_in_order : other if position < number]
  }

  # One apply is one project and one region: those of the first model.
  first_model = local.models_in_order[0]
  project_id  = local.first_model.project_id
  location    = local.first_model.location

  models = { for model in local.models_in_order : model.model_monitor_id => model }

  # For titles and descriptions, which Google limits to some 100 characters.
  model_names        = [for model in local.models_in_order : model.model_name]
  monitors_in_words  = length(local.models) == 1 ? keys(local.models)[0] : "${length(local.models)} models"
  models_in_words    = length(local.models) == 1 ? local.model_names[0] : "${length(local.models)} models"
  pipelines          = distinct([for model in local.models_in_order : model.training_pipeline])
  pipelines_in_words = length(local.pipelines) == 1 ? local.pipelines[0] : "the training pipelines"
}

# Refuses, before anything is created, what only a deployment could not work with.
resource "terraform_data" "config" {
  for_each = { for model in local.models_in_order : model.file => model }

  input = each.key

  lifecycle {
    precondition {
      condition     = try(filesha256(each.key), "") == each.value.sha256
      error_message = "${each.key} is not the configuration that was written for Terraform. Run `transak-drift config terraform` again."
    }
    precondition {
      condition     = each.value.project_id == local.project_id
      error_message = "project_id in ${each.key} is ${each.value.project_id}, in ${local.first_model.file} ${local.project_id}: one apply is one project. Apply that model by itself, with variables and a state of its own."
    }
    precondition {
      condition     = each.value.location == local.location
      error_message = "location in ${each.key} is ${each.value.location}, in ${local.first_model.file} ${local.location}: one apply is one region. Apply that model by itself, with variables and a state of its own."
    }
    precondition {
      condition     = each.value.log_anomalies
      error_message = "log_anomalies in ${each.key} is false, so that no anomaly would ever reach the sink; set it to true."
    }
  }
}
