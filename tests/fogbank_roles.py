"""Roles for instances."""

import json


def trust(service="ec2.amazonaws.com"):
    return json.dumps({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole",
    }})


def allow(action, **condition):
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {**statement, "Condition": condition} if condition else statement


def make_role(iam, name, *statements):
    """A role that EC2 may assume, in a profile of the same name; gives the profile's ARN."""
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust())
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
    made = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return made["Arn"]
