print("greensweep")
