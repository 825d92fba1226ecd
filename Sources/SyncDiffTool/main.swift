print("syncdiff")
