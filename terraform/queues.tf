# What models share: a queue for each trigger topic, and its dead letters, which several queues may
# keep together.
locals {
  queues = {
    for topic, models in { for model in local.models_in_order : model.trigger_topic => model... } : topic => {
      files                    = [for model in models : model.file]
      first_monitor            = models[0].model_monitor_id
      subscription             = models[0].trigger_subscription
      dead_letter_topic        = models[0].dead_letter_topic
      dead_letter_subscription = models[0].dead_letter_subscription
      monitors                 = join("`, `", [for model in models : model.model_monitor_id])
      notification_channels    = distinct(flatten([for model in models : model.notification_channels]))
      labels                   = merge(local.labels, length(models) == 1 ? { monitor = models[0].model_monitor_id } : {})
      models_in_words          = length(models) == 1 ? models[0].model_name : "${length(models)} models"
      monitors_in_words        = length(models) == 1 ? models[0].model_monitor_id : "${length(models)} models"
      function_name            = local.function_names[topic]
      function_bucket          = "${local.project_id}-${local.function_names[topic]}-src"
    }
  }
  function_names = {
    for topic in distinct([for model in local.models_in_order : model.trigger_topic]) :
    topic => topic == local.first_model.trigger_topic ? var.cloud_function_name : "cf-${trimprefix(topic, "ps-")}"
  }

  # Exactly one of the two has queues in it.
  pulled_queues = { for topic, queue in local.queues : topic => queue if var.trigger == "dagster" }
  pushed_queues = { for topic, queue in local.queues : topic => queue if var.trigger == "cloud_function" }

  dead_letters = {
    for topic, models in { for model in local.models_in_order : model.dead_letter_topic => model... } : topic => {
      labels = merge(local.labels, length(models) == 1 ? { monitor = models[0].model_monitor_id } : {})
    }
  }
  dead_letter_subscriptions = {
    for subscription, models in { for model in local.models_in_order : model.dead_letter_subscription => model... } :
    subscription => {
      dead_letter_topic     = models[0].dead_letter_topic
      trigger_topics        = join("`, `", distinct([for model in models : model.trigger_topic]))
      notification_channels = distinct(flatten([for model in models : model.notification_channels]))
      labels                = merge(local.labels, length(models) == 1 ? { monitor = models[0].model_monitor_id } : {})
    }
  }

  # What one model has for itself also bears its monitor.
  labels = {
    component = "transak-drift"
  }
}
