variable "role_name" {
  type        = string
  description = "Name of the role under /stint/, as the configuration has it"
  validation {
    condition     = can(regex("^[\\w+=,.@-]{1,64}$", var.role_name))
    error_message = "A name of up to 64 letters, digits and _+=,.@-, without a path."
  }
}

variable "broker_role_arn" {
  type        = string
  description = "What the deployment of Stint calls its broker: it alone may assume the role"
  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:role/stint-functions/[\\w+=,.@-]+$", var.broker_role_arn))
    error_message = "The ARN of one role under /stint-functions/."
  }
}

variable "revoke_role_arn" {
  type        = string
  description = "What the deployment of Stint calls its revoker: it writes deny lists, through the account's own revoker"
  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:role/stint-functions/[\\w+=,.@-]+$", var.revoke_role_arn))
    error_message = "The ARN of one role under /stint-functions/."
  }
}

variable "policy_arns" {
  type        = list(string)
  description = "Managed policies with all that tests may do; a grant narrows it to its profile"
}

variable "first_in_account" {
  type        = bool
  description = "Whether to make the account's boundary and revoker too; its further roles share them"
}
