variable "models" {
  type = list(object({
    file                     = string
    sha256                   = string
    project_id               = string
    project_number           = string
    location                 = string
    model_name               = string
    model_monitor_id         = string
    model_monitor_pattern    = string
    log_anomalies            = bool
    notification_channels    = list(string)
    training_pipeline        = string
    pipeline_template        = string
    monitoring_output        = string
    trigger_topic            = string
    trigger_subscription     = string
    dead_letter_topic        = string
    dead_letter_subscription = string
  }))
  default     = []
  nullable    = false
  description = "The monitored models, the first one first; `transak-drift config terraform` writes them to models.auto.tfvars.json."

  validation {
    condition     = length(var.models) > 0
    error_message = "models is empty: run `transak-drift config terraform`, which writes models.auto.tfvars.json from the monitoring configurations."
  }
}

variable "config_path" {
  type        = string
  default     = "../monitoring_config.json"
  nullable    = false
  description = "Path of the monitoring configuration, or of the folder of configurations, that the models were read from; written with them."

  validation {
    condition     = try(fileexists(var.config_path), false) || length(try(fileset(var.config_path, "*.json"), [])) > 0
    error_message = "config_path names no file, and no folder of .json files: run `transak-drift config terraform`."
  }
}

variable "trigger" {
  type        = string
  default     = "dagster"
  nullable    = false
  description = "What starts a training on a drift message: dagster (the sensor pulls a subscription) or cloud_function (Eventarc pushes to a function). Exactly one exists at a time."

  validation {
    condition     = contains(["dagster", "cloud_function"], var.trigger)
    error_message = "trigger must be \"dagster\" or \"cloud_function\": two live triggers would handle every drift twice."
  }
}

variable "trigger_channel" {
  type        = bool
  default     = true
  nullable    = false
  description = "Whether a notification channel publishes Vertex AI's notices of anomalies to the trigger topic, beside the log sink."

  validation {
    condition     = contains([true, false], var.trigger_channel)
    error_message = "trigger_channel must be true or false."
  }
}

variable "message_retention_days" {
  type        = number
  default     = 7
  nullable    = false
  description = "Days for which Pub/Sub keeps a drift message that nobody has acknowledged."

  validation {
    condition     = var.message_retention_days >= 1 && var.message_retention_days <= 31 && floor(var.message_retention_days) == var.message_retention_days
    error_message = "message_retention_days must be a whole number from 1 to 31."
  }
}

variable "dead_letter_retention_days" {
  type        = number
  default     = 31
  nullable    = false
  description = "Days for which Pub/Sub keeps a rejected message, so that it can be looked at and replayed."

  validation {
    condition     = var.dead_letter_retention_days >= 1 && var.dead_letter_retention_days <= 31 && floor(var.dead_letter_retention_days) == var.dead_letter_retention_days
    error_message = "dead_letter_retention_days must be a whole number from 1 to 31."
  }
}

variable "unacknowledged_age_minutes" {
  type        = number
  default     = 60
  nullable    = false
  description = "Age of the oldest unacknowledged drift message, in minutes, above which the alert fires."

  validation {
    condition     = var.unacknowledged_age_minutes >= 5 && var.unacknowledged_age_minutes <= 1380
    error_message = "unacknowledged_age_minutes must be from 5 to 1380: a younger message is no fault, and Cloud Monitoring looks back 23 hours."
  }
}

variable "dagster_service_account_id" {
  type        = string
  default     = "dagster-transak-drift"
  nullable    = false
  description = "Id (the part before the @) of the service account that is created for Dagster."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.dagster_service_account_id))
    error_message = "dagster_service_account_id must have 6 to 30 lower-case letters, digits or hyphens and begin with a letter."
  }
}

variable "dagster_impersonators" {
  type        = set(string)
  default     = []
  nullable    = false
  description = "Principals that may act as Dagster's service account, e.g. serviceAccount:NAME@PROJECT.iam.gserviceaccount.com; no key file is ever made."

  validation {
    condition = alltrue([
      for member in var.dagster_impersonators :
      can(regex("^(user|group|serviceAccount|principal|principalSet):.+$", member))
    ])
    error_message = "Each of dagster_impersonators must be user:, group:, serviceAccount:, principal: or principalSet: with an identity."
  }
}

variable "pipeline_service_account" {
  type        = string
  default     = null
  description = "E-mail of the service account that the training pipeline runs as; null is the project's Compute Engine default account, as in Vertex AI."

  validation {
    condition     = var.pipeline_service_account == null ? true : can(regex("^[^@\\s]+@[^@\\s]+\\.gserviceaccount\\.com$", var.pipeline_service_account))
    error_message = "pipeline_service_account must be the e-mail of a service account, NAME@....gserviceaccount.com."
  }
}

variable "pipeline_root_bucket" {
  type        = string
  default     = null
  description = "Name of the existing bucket (without gs://) that holds the pipeline root; the trigger gets access to its objects. Null grants nothing."

  validation {
    condition     = var.pipeline_root_bucket == null ? true : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.pipeline_root_bucket))
    error_message = "pipeline_root_bucket must be the name of a bucket without gs:// and without a path."
  }
}

variable "cloud_function_name" {
  type        = string
  default     = "cf-transak-i1-train-trigger"
  nullable    = false
  description = "Name of the function, and of its service account, when trigger is cloud_function. Models with a trigger_topic of their own have a further function, whose name is made from that topic."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.cloud_function_name))
    error_message = "cloud_function_name must have 6 to 30 lower-case letters, digits or hyphens and begin with a letter: a service account has the same name."
  }
}
