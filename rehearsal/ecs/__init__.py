"""ECS on Fargate: task definitions, containers, tasks and services."""
