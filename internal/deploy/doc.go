// Package deploy brings a folder of functions to AWS and looks after it there:
// a stack of internal/stack's template, an image in ECR, secrets in Secrets
// Manager, a service on ECS. It knows AWS and nothing of the command line.
package deploy
