# Refuses what only a deployment with the Cloud Function as its trigger could not work with.
locals {
  # Each function has a service account of its own, of its own name.
  same_function_name = {
    for model in local.models_in_order : model.file => concat(
      local.queues[model.trigger_topic].function_name == var.dagster_service_account_id ? ["dagster_service_account_id"] : [],
      [
        for other in local.earlier_models[model.file] : other.file
        if other.trigger_topic != model.trigger_topic &&
        local.queues[other.trigger_topic].function_name == local.queues[model.trigger_topic].function_name
      ],
    )
  }

  models_without_pipeline = [
    for model in local.models_in_order : model.file if !can(regex("://", model.pipeline_template))
  ]
}

# A warning and no refusal: the pipeline's address may be filled in after a first plan or apply. Until
# then the function refuses to start, and Eventarc keeps what it is sent.
check "cloud_function_pipelines" {
  assert {
    condition     = var.trigger != "cloud_function" || length(local.models_without_pipeline) == 0
    error_message = "vertex.pipeline_template in ${join(", ", local.models_without_pipeline)} must be the address of the compiled training pipeline, gs://bucket/path or in Artifact Registry: with trigger = cloud_function nothing trains before."
  }
}

resource "terraform_data" "cloud_function" {
  for_each = { for model in local.models_in_order : model.file => model if var.trigger == "cloud_function" }

  input = each.key

  lifecycle {
    precondition {
      condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", local.queues[each.value.trigger_topic].function_name))
      error_message = "trigger_topic in ${each.key} gives the function's name ${local.queues[each.value.trigger_topic].function_name}, which cannot be that of a service account: 6 to 30 lower-case letters, digits or hyphens, a letter first. Name a topic such as ps-transak-i2-train-trigger."
    }
    precondition {
      condition     = length(local.same_function_name[each.key]) == 0
      error_message = "trigger_topic in ${each.key} gives the function's name ${local.queues[each.value.trigger_topic].function_name}, which is taken by ${join(", ", local.same_function_name[each.key])}. Name another topic, cloud_function_name or dagster_service_account_id."
    }
    precondition {
      condition     = length(local.queues[each.value.trigger_topic].function_bucket) <= 63
      error_message = "The bucket of the function's source would be named ${local.queues[each.value.trigger_topic].function_bucket}, which is longer than the 63 characters that Cloud Storage allows. Name a shorter cloud_function_name, or trigger_topic."
    }
  }
}
