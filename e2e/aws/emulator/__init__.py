"""An AWS account on one machine: moto's server, with what it lacks filled in.

CloudFormation, ECS and Application Auto Scaling are written here, since moto's
own lose most of what a template says and do everything at once; the rest is
moto's. See serve.py for how to start it.
"""
