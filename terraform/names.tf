# Every name comes from the monitoring configurations that Dagster reads. The defaults of their
# optional keys are those of transak_drift/config/monitoring_config.py; the test suite holds the two together.
locals {
  models_in_order = [
    for number, path in local.config_files : {
      number = number
      file   = path

      project_id            = local.documents[path].project_id
      project_number        = try(local.documents[path].project_number, null)
      location              = local.documents[path].location
      model_name            = local.documents[path].model_name
      log_anomalies         = local.documents[path].log_anomalies
      notification_channels = local.documents[path].notification_channels
      pipeline_template     = try(local.documents[path].vertex.pipeline_template, null)
      training_pipeline     = try(local.documents[path].training_pipeline, "pipeline-train")

      model_monitor_id = try(
        local.documents[path].model_monitor_id,
        trim(substr(trim(replace(lower(local.documents[path].monitoring_job_display_name), "/[^a-z0-9]+/", "-"), "-"), 0, 63), "-"),
      )

      trigger_topic        = local.trigger_topics[path]
      trigger_subscription = try(local.documents[path].trigger_subscription, "${local.trigger_topics[path]}-subscription")
      dead_letter_topic    = local.dead_letter_topics[path]
      dead_letter_subscription = try(
        local.documents[path].dead_letter_subscription, "${local.dead_letter_topics[path]}-subscription"
      )
    }
  ]
  trigger_topics = {
    for path, document in local.documents : path => try(document.trigger_topic, "ps-transak-i1-train-trigger")
  }
  dead_letter_topics = {
    for path, document in local.documents :
    path => try(document.dead_letter_topic, "${local.trigger_topics[path]}-dead-letter")
  }

  # One apply is one project and one region: those of the first model.
  first_model = local.models_in_order[0]
  project_id  = local.first_model.project_id
  location    = local.first_model.location

  # By monitor. Two models of one monitor are refused below, with a sentence that names their files.
  models = {
    for monitor, claimants in { for model in local.models_in_order : model.model_monitor_id => model... } :
    monitor => claimants[0]
  }

  # For titles and descriptions, which Google limits to some 100 characters.
  monitors_in_words  = length(local.models) == 1 ? local.first_model.model_monitor_id : "${length(local.models)} models"
  models_in_words    = length(local.models) == 1 ? local.first_model.model_name : "${length(local.models)} models"
  pipelines          = distinct([for model in local.models_in_order : model.training_pipeline])
  pipelines_in_words = length(local.pipelines) == 1 ? local.pipelines[0] : "the training pipelines"
}

# Refuses, before anything is created, configurations that Dagster would refuse for the same names.
resource "terraform_data" "config" {
  for_each = { for model in local.models_in_order : model.file => model }

  input = each.key

  lifecycle {
    precondition {
      condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", each.value.project_id))
      error_message = "project_id in ${each.key} is not a project id: ${each.value.project_id}."
    }
    precondition {
      condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", each.value.location))
      error_message = "location in ${each.key} is not a region: ${each.value.location}."
    }
    precondition {
      condition     = each.value.project_id == local.project_id
      error_message = "project_id in ${each.key} is ${each.value.project_id}, in ${local.first_model.file} ${local.project_id}: one apply is one project. Apply that model by itself, with config_path and a state of its own."
    }
    precondition {
      condition     = each.value.location == local.location
      error_message = "location in ${each.key} is ${each.value.location}, in ${local.first_model.file} ${local.location}: one apply is one region. Apply that model by itself, with config_path and a state of its own."
    }
    precondition {
      condition     = can(regex("^([a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,18})$", each.value.model_monitor_id))
      error_message = "model_monitor_id in ${each.key} is not an id of lower-case letters, digits and hyphens that starts with a letter: ${each.value.model_monitor_id}."
    }
    precondition {
      condition = alltrue([
        for name in [each.value.trigger_topic, each.value.trigger_subscription, each.value.dead_letter_topic, each.value.dead_letter_subscription] :
        can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", name)) && !startswith(lower(name), "goog")
      ])
      error_message = "A Pub/Sub name in ${each.key} is not valid: 3 to 255 characters, a letter first, not beginning with goog."
    }
    precondition {
      condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", each.value.training_pipeline))
      error_message = "training_pipeline in ${each.key} is not a name of a pipeline: ${each.value.training_pipeline}."
    }
    precondition {
      condition     = each.value.dead_letter_topic != each.value.trigger_topic
      error_message = "dead_letter_topic in ${each.key} is the trigger topic itself: rejected messages would return for ever."
    }
    precondition {
      condition     = each.value.dead_letter_subscription != each.value.trigger_subscription
      error_message = "dead_letter_subscription in ${each.key} is the trigger subscription itself: it cannot be bound to both topics."
    }
    precondition {
      condition     = each.value.log_anomalies
      error_message = "log_anomalies in ${each.key} is false, so that no anomaly would ever reach the sink; set it to true."
    }
  }
}
