"""Functions that write folders of a bundle for other software. To add one, write its module and add a line here."""

RECEIVERS = {
    "triton": "pipeline.deploy.receivers.triton:write",
    "isaac_ros": "pipeline.deploy.receivers.isaac_ros:write",
}
