# What models must not share, as transak_drift/config/model_rules.py has it: the whole queue, or nothing
# of it. For each file, the files before it that it disagrees with.
locals {
  earlier_models = {
    for model in local.models_in_order :
    model.file => [for other in local.models_in_order : other if other.number < model.number]
  }

  same_monitor = {
    for model in local.models_in_order : model.file => [
      for other in local.earlier_models[model.file] : other.file
      if other.model_monitor_id == model.model_monitor_id
    ]
  }

  same_model = {
    for model in local.models_in_order : model.file => [
      for other in local.earlier_models[model.file] : other.file if other.model_name == model.model_name
    ]
  }

  half_shared_queue = {
    for model in local.models_in_order : model.file => [
      for other in local.earlier_models[model.file] : other.file
      if other.trigger_subscription == model.trigger_subscription && !(
        other.trigger_topic == model.trigger_topic &&
        other.dead_letter_topic == model.dead_letter_topic &&
        other.dead_letter_subscription == model.dead_letter_subscription
      )
    ]
  }

  # Dead letters of several queues may be kept together.
  topic_of_other_queue = {
    for model in local.models_in_order : model.file => [
      for other in local.earlier_models[model.file] : other.file
      if other.trigger_subscription != model.trigger_subscription && (
        contains([other.trigger_topic, other.dead_letter_topic], model.trigger_topic) ||
        model.dead_letter_topic == other.trigger_topic
      )
    ]
  }

  subscription_of_other_queue = {
    for model in local.models_in_order : model.file => [
      for other in local.earlier_models[model.file] : other.file
      if other.trigger_subscription != model.trigger_subscription && (
        model.trigger_subscription == other.dead_letter_subscription ||
        model.dead_letter_subscription == other.trigger_subscription ||
        (
          model.dead_letter_subscription == other.dead_letter_subscription &&
          model.dead_letter_topic != other.dead_letter_topic
        )
      )
    ]
  }
}

resource "terraform_data" "shared_names" {
  for_each = { for model in local.models_in_order : model.file => model }

  input = each.key

  lifecycle {
    precondition {
      condition     = length(local.same_monitor[each.key]) == 0
      error_message = "model_monitor_id in ${each.key} is the ModelMonitor of ${join(", ", local.same_monitor[each.key])} already: ${each.value.model_monitor_id}. Set another one, or another monitoring_job_display_name."
    }
    precondition {
      condition     = length(local.same_model[each.key]) == 0
      error_message = "model_name in ${each.key} is monitored already by ${join(", ", local.same_model[each.key])}: ${each.value.model_name}. Keep one of the files: one drift would train the model twice."
    }
    precondition {
      condition     = length(local.half_shared_queue[each.key]) == 0
      error_message = "trigger_topic, dead_letter_topic or dead_letter_subscription in ${each.key} differs from ${join(", ", local.half_shared_queue[each.key])}, which has the same trigger_subscription. Make them equal, or name another trigger_topic."
    }
    precondition {
      condition     = length(local.topic_of_other_queue[each.key]) == 0
      error_message = "trigger_topic or dead_letter_topic in ${each.key} is a topic of ${join(", ", local.topic_of_other_queue[each.key])}, which has another trigger_subscription. Name another topic, or share trigger_subscription as well."
    }
    precondition {
      condition     = length(local.subscription_of_other_queue[each.key]) == 0
      error_message = "trigger_subscription or dead_letter_subscription in ${each.key} is a subscription of ${join(", ", local.subscription_of_other_queue[each.key])} on another topic. Name another subscription."
    }
  }
}
