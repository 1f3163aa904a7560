output "role_arn" {
  description = "For the configuration"
  value       = aws_iam_role.target.arn
}

output "boundary_arn" {
  value = local.boundary_arn
}

output "revoker_arn" {
  value = "arn:aws:iam::${local.account}:role/stint-revoker"
}
