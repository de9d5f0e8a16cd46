"""Folders of a bundle that other software runs as they are. To add one, write its file and add its line."""

RECEIVERS = {
    "triton": "pipeline.deploy.receivers.triton:write",
    "isaac_ros": "pipeline.deploy.receivers.isaac_ros:write",
}
