# A role that Stint grants are of, in an account that is not Stint's own.
# What is said here is said in packages/aws/src/target-role.ts, and test/infra/accounts.test.ts holds it to that.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

data "aws_caller_identity" "current" {}

locals {
  account      = data.aws_caller_identity.current.account_id
  boundary_arn = "arn:aws:iam::${local.account}:policy/stint-target"
  targets      = "arn:aws:iam::${local.account}:role/stint/*"
  roles        = "arn:aws:iam::${local.account}:role/*"
}

data "aws_iam_policy_document" "boundary" {
  statement {
    sid       = "Everything"
    actions   = ["*"]
    resources = ["*"]
  }
  statement {
    sid    = "ButIdentities"
    effect = "Deny"
    actions = [
      "iam:*",
      "organizations:*",
      "account:*",
      "sso:*",
      "sso-directory:*",
      "identitystore:*",
      "rolesanywhere:*",
    ]
    resources = ["*"]
  }
  statement {
    sid     = "ButStint"
    effect  = "Deny"
    actions = ["*"]
    resources = [
      "arn:aws:dynamodb:*:*:table/stint*",
      "arn:aws:lambda:*:*:function:stint-*",
      "arn:aws:scheduler:*:*:schedule/stint*",
      "arn:aws:sqs:*:*:stint-*",
      "arn:aws:ssm:*:*:parameter/",
      "arn:aws:ssm:*:*:parameter/stint",
      "arn:aws:ssm:*:*:parameter/stint/",
      "arn:aws:ssm:*:*:parameter/stint/*token-keys",
      "arn:aws:ssm:*:*:parameter/stint/*webhooks*",
    ]
  }
}

data "aws_iam_policy_document" "probe" {
  statement {
    sid       = "StintProbe"
    actions   = ["ssm:GetParameter"]
    resources = ["arn:aws:ssm:*:${local.account}:parameter/stint/probe"]
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "StintBroker"
    actions = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    principals {
      type        = "AWS"
      identifiers = [var.broker_role_arn]
    }
    condition {
      test     = "StringLike"
      variable = "sts:SourceIdentity"
      values   = ["g*"]
    }
  }
  statement {
    sid     = "StintTags"
    actions = ["sts:TagSession"]
    principals {
      type        = "AWS"
      identifiers = [var.broker_role_arn]
    }
    condition {
      test     = "ForAllValues:StringEquals"
      variable = "aws:TagKeys"
      values   = ["stint:profile", "stint:namespace"]
    }
  }
}

data "aws_iam_policy_document" "revoker" {
  statement {
    sid       = "ReadDenyLists"
    actions   = ["iam:GetRolePolicy"]
    resources = [local.targets]
  }
  # IAM knows no path of a role that is gone, so it is asked about by its name alone.
  statement {
    sid       = "SeeWhichAreGone"
    actions   = ["iam:GetRole"]
    resources = [local.roles]
  }
  statement {
    sid       = "WriteDenyLists"
    actions   = ["iam:PutRolePolicy"]
    resources = [local.targets]
    # Without it the revoker could write itself a way out of any role that lies under the path.
    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [local.boundary_arn]
    }
  }
}

data "aws_iam_policy_document" "revoker_trust" {
  statement {
    sid     = "StintRevoker"
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [var.revoke_role_arn]
    }
  }
}

resource "aws_iam_policy" "boundary" {
  count       = var.first_in_account ? 1 : 0
  name        = "stint-target"
  description = "What no target role can do, whatever its policies say"
  policy      = data.aws_iam_policy_document.boundary.json
}

resource "aws_iam_role" "revoker" {
  count              = var.first_in_account ? 1 : 0
  name               = "stint-revoker"
  description        = "Writes Stint's deny lists on the target roles of this account"
  assume_role_policy = data.aws_iam_policy_document.revoker_trust.json
}

resource "aws_iam_role_policy" "revoker" {
  count  = var.first_in_account ? 1 : 0
  name   = "own"
  role   = aws_iam_role.revoker[0].name
  policy = data.aws_iam_policy_document.revoker.json
}

resource "aws_iam_policy" "probe" {
  name        = "${var.role_name}-probe"
  path        = "/stint/"
  description = "The call by which a session is proved to be dead"
  policy      = data.aws_iam_policy_document.probe.json
}

# Without inline policies: their room is the deny list's, which is not Terraform's to keep.
resource "aws_iam_role" "target" {
  name                 = var.role_name
  path                 = "/stint/"
  max_session_duration = 3600
  permissions_boundary = local.boundary_arn
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  # Deny lists are written beside Terraform: IAM deletes no role that still has one.
  force_detach_policies = true
  depends_on            = [aws_iam_policy.boundary]
}

resource "aws_iam_role_policy_attachment" "probe" {
  role       = aws_iam_role.target.name
  policy_arn = aws_iam_policy.probe.arn
}

resource "aws_iam_role_policy_attachment" "allowed" {
  count      = length(var.policy_arns)
  role       = aws_iam_role.target.name
  policy_arn = var.policy_arns[count.index]
}
