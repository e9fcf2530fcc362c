"""Everything that users get besides the code: the wheel, the action, the image, the recipes, the licences."""
